// What the pages of usage, logs, peers, admission and audit work out by themselves.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** Its source, with its packages. */
const DASHBOARD = process.env.KEYWAY_DASHBOARD;

let vite;
/** A module of the dashboard, through its own build. */
const load = (path) => vite.ssrLoadModule(`/src/${path}`);

before(async () => {
  const entry = createRequire(join(DASHBOARD, "package.json")).resolve("vite");
  const { createServer } = await import(pathToFileURL(entry).href);
  vite = await createServer({
    root: DASHBOARD,
    configFile: join(DASHBOARD, "vite.config.ts"),
    appType: "custom",
    logLevel: "error",
    optimizeDeps: { noDiscovery: true, include: [] },
    server: { middlewareMode: true, hmr: false, ws: false, watch: null },
  });
});

after(() => vite?.close());

test("ranges end now, or are whole days", async () => {
  const { bounds } = await load("format/range.ts");
  const now = Date.parse("2026-11-24T03:40:30.500Z");
  for (const [range, zone, expected] of [
    ["24h", "local", { start: "2026-11-23T03:40:00.000Z" }],
    ["7d", "local", { start: "2026-11-17T03:40:00.000Z" }],
    ["1d", "utc", { start: "2026-11-24T00:00:00.000Z" }],
    ["14d", "utc", { start: "2026-11-11T00:00:00.000Z" }],
    [
      "2026-11-01..2026-11-02",
      "utc",
      { start: "2026-11-01T00:00:00.000Z", end: "2026-11-02T23:59:59.999Z" },
    ],
    ["2026-11-02..2026-11-01", "utc", null],
    ["2026-13-01..2026-13-02", "utc", null],
    ["0d", "utc", null],
    ["yesterday", "utc", null],
  ]) {
    assert.deepEqual(bounds(range, zone, now), expected, range);
  }
});

test("every period of a range is there, also an empty one", async () => {
  const { periodStarts } = await load("pages/usage/periods.ts");
  const span = { start: "2026-11-27T00:00:00Z", end: "2026-12-02T23:59:59Z" };
  for (const [granularity, expected] of [
    ["day", ["2026-11-27", "2026-11-28", "2026-11-29", "2026-11-30", "2026-12-01", "2026-12-02"]],
    ["week", ["2026-11-23", "2026-11-30"]],
    ["month", ["2026-11-01", "2026-12-01"]],
  ]) {
    assert.deepEqual(periodStarts(span, granularity, 0), expected);
  }
});

test("what is not of the largest keys is the rest, but groups have none", async () => {
  const { byKey, largest } = await load("pages/usage/series.ts");
  const bucket = (period_start, request_count) => ({ period_start, request_count });
  const parts = [{ key: "a", label: "A", buckets: [bucket("2026-11-02", 3)] }];
  const all = [bucket("2026-11-01", 2), bucket("2026-11-02", 5)];
  const starts = ["2026-11-01", "2026-11-02", "2026-11-03"];
  const values = (by) => byKey(parts, all, starts, "requests", by).map((one) => one.values);
  assert.deepEqual(values("provider"), [
    [0, 3, 0],
    [2, 2, 0],
  ]);
  assert.deepEqual(values("group"), [[0, 3, 0]]);
  const totals = ["", "a", "b", "c", "d", "e", "f"].map((key, index) => ({
    key,
    request_count: 100 - index,
  }));
  const keys = largest(totals, "requests").map(({ key }) => key);
  assert.deepEqual(keys, ["a", "b", "c", "d", "e"]);
});

test("a waterfall has the phases that were reached", async () => {
  const { phases } = await load("pages/logs/phases.ts");
  const timeline = (marks) => ({
    received_ms: null,
    reserved_ms: null,
    sent_ms: null,
    first_byte_ms: null,
    first_token_ms: null,
    ...marks,
  });
  const seen = (marks) => phases(timeline(marks)).map(({ id, start, end }) => [id, start, end]);
  assert.deepEqual(
    seen({
      received_ms: 1,
      reserved_ms: 2,
      sent_ms: 5,
      first_byte_ms: 50,
      first_token_ms: 60,
      end_ms: 90,
    }),
    [
      ["receive", 0, 1],
      ["decide", 1, 2],
      ["send", 2, 5],
      ["wait", 5, 50],
      ["first_token", 50, 60],
      ["stream", 60, 90],
    ],
  );
  // Refused before its body was there.
  assert.deepEqual(seen({ end_ms: 0.2 }), [["receive", 0, 0.2]]);
  assert.deepEqual(seen({ received_ms: 1, end_ms: 2 }), [
    ["receive", 0, 1],
    ["decide", 1, 2],
  ]);
  // Decided on before the body was whole.
  assert.deepEqual(seen({ received_ms: 4, reserved_ms: 2, sent_ms: 5, end_ms: 9 }), [
    ["receive", 0, 4],
    ["decide", 4, 4],
    ["send", 4, 5],
    ["wait", 5, 9],
  ]);
});

test("the live tail is bounded, also while it is paused, and says how late it is", async () => {
  const { backoff, NOTHING, paused, received, resumed, ROWS_MAX } =
    await load("pages/logs/tail.ts");
  const entries = (from, many) =>
    Array.from({ length: many }, (_, index) => ({
      id: from + index,
      timestamp: "2026-11-24T00:00:00Z",
      duration_ms: 1000,
    }));
  const now = Date.parse("2026-11-24T00:00:31Z");
  let tail = received(NOTHING, entries(1, 3), now);
  assert.deepEqual(
    tail.rows.map(({ id }) => id),
    [3, 2, 1],
  );
  assert.equal(tail.lag, 30_000);
  tail = received(paused(tail), entries(4, ROWS_MAX + 10), now);
  assert.equal(tail.rows.length, 3);
  assert.equal(tail.held.length, ROWS_MAX);
  tail = resumed(tail);
  assert.equal(tail.rows.length, ROWS_MAX);
  assert.equal(tail.rows[0].id, ROWS_MAX + 13);
  assert.equal(tail.held.length, 0);
  assert.equal(tail.seen, ROWS_MAX + 13);
  assert.deepEqual([0, 1, 4, 5, 50].map(backoff), [1_000, 2_000, 16_000, 30_000, 30_000]);
});

test("counters of a peer are those of all its addresses", async () => {
  const { byPeer, groupRows } = await load("pages/peers/traffic.ts");
  const flow = (bytes, last_seen) => ({ packets: 1, bytes, connections: 1, resets: 0, last_seen });
  const seen = byPeer([
    { peer_id: "a", ingress: flow(10, "2026-11-24T00:00:05Z"), egress: flow(1) },
    { peer_id: "a", ingress: flow(5, "2026-11-24T00:00:09Z"), egress: flow(2) },
    { peer_id: "b", ingress: flow(7), egress: flow(0) },
  ]);
  assert.equal(seen.get("a").bytesIn, 15);
  assert.equal(seen.get("a").bytesOut, 3);
  assert.equal(seen.get("a").lastSeen, "2026-11-24T00:00:09Z");
  assert.equal(seen.get("b").lastSeen, undefined);
  const groups = [
    { id: "g", name: "Group" },
    { id: "empty", name: "Empty" },
  ];
  const peers = [
    { groups: ["g", "new"], let_in: true },
    { groups: ["g"], let_in: false },
  ];
  assert.deepEqual(groupRows(groups, peers), [
    { id: "g", name: "Group", peers: 2, letIn: 1 },
    { id: "empty", name: "Empty", peers: 0, letIn: 0 },
    { id: "new", name: "new", peers: 1, letIn: 1 },
  ]);
});

test("samples of the kernel become minutes", async () => {
  const { perMinute } = await load("pages/admission/history.ts");
  const history = {
    interval_seconds: 10,
    samples: [
      { at: "2026-11-24T00:00:10Z", packets: { unknown_peer: 2 } },
      { at: "2026-11-24T00:00:50Z", packets: { unknown_peer: 3, from_peer: 1 } },
      { at: "2026-11-24T00:01:00Z", packets: {} },
    ],
  };
  const found = perMinute(history, ["not_overlay", "unknown_peer"], String, String);
  assert.equal(found.bars.length, 2);
  assert.deepEqual(found.series, [{ key: "unknown_peer", label: "unknown_peer", values: [5, 0] }]);
});

test("a change is shown field by field", async () => {
  const { differences, fields } = await load("pages/audit/difference.ts");
  const before = { a: 1, same: [1], models: [{ id: "x", price: 1 }], gone: true };
  const after = { a: 2, same: [1], models: [{ id: "x", price: 2 }, { id: "y" }] };
  assert.deepEqual(differences(before, after), [
    { path: "a", before: 1, after: 2 },
    { path: "models[0].price", before: 1, after: 2 },
    { path: "models[1]", before: undefined, after: { id: "y" } },
    { path: "gone", before: true, after: undefined },
  ]);
  assert.deepEqual(fields({ name: "n", empty: "", none: null, list: [] }), [
    { path: "name", before: undefined, after: "n" },
  ]);
});

test("records lead to addresses, not to all of them", async () => {
  const { records } = await load("pages/settings/dns.ts");
  assert.deepEqual(
    records("e.test", ["100.92.0.1:443", "[fd00::1]:443", "0.0.0.0:443", "[::]:443"]),
    ["e.test. 300 IN A 100.92.0.1", "e.test. 300 IN AAAA fd00::1"],
  );
});
