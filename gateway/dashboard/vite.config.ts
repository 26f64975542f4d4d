import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** A node to develop against, and a token of it (`keyway tokens create`). */
const node = process.env["KEYWAY_URL"] ?? "http://127.0.0.1:9470";
const token = process.env["KEYWAY_TOKEN"];

/** With a token in every proxied request there is nobody to log in. */
const openSession: Plugin = {
  name: "keyway-open-session",
  configureServer(server) {
    if (!token) return;
    server.middlewares.use("/api/agent-network/session", (_request, response) => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ actor: "developer", role: "owner", via: "token" }));
    });
  },
};

export default defineConfig({
  plugins: [react(), openSession],
  resolve: { alias: { "@": fileURLToPath(new URL("src", import.meta.url)) } },
  build: {
    // The first with light-dark() in style sheets.
    target: ["chrome123", "firefox120", "safari17.5"],
    // The content security policy has no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      "/api": {
        target: node,
        changeOrigin: true,
        headers: { origin: node, ...(token ? { authorization: `Token ${token}` } : {}) },
      },
    },
  },
});
