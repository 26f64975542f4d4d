import { useEffect, useState } from "react";
import { ApiError } from "@/api/http";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/CodeBlock";
import { Field } from "@/components/Field";
import { SecretInput } from "@/components/Input";
import { Notice } from "@/components/Notice";
import { Brand } from "./Brand";
import css from "./LoginPage.module.css";
import { navigate } from "./router";
import { logIn } from "./session";

/** One-time link (`/login#code=…`, never sent to a server as part of an address) or a token. */
export function LoginPage({ known }: { known?: string }) {
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string>();

  const enter = async (proof: { code: string } | { token: string }) => {
    setBusy(true);
    setProblem(undefined);
    try {
      await logIn(proof);
      setToken("");
      // Whoever was sent here from a page gets back to it.
      if (location.pathname.startsWith("/login")) navigate("/", { replace: true });
    } catch (error) {
      setProblem(reason(error, "code" in proof));
    } finally {
      setBusy(false);
    }
  };

  useEffect(() => {
    document.title = "Log in · Keyway";
    const code = takeCode();
    if (code) void enter({ code });
  }, []);

  return (
    <main className={css.page}>
      <form
        className={css.card}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void enter({ token: token.trim() });
        }}
      >
        <Brand />
        <h1>Log in</h1>
        {known && (
          <Notice tone="info">
            The overlay knows you as {known}, who is in no group of administrators.
          </Notice>
        )}
        {problem && <Notice tone="bad">{problem}</Notice>}
        <Field
          label="Access token"
          hint="It begins with kwt_ and is kept by this browser's session only."
        >
          {(control) => <SecretInput {...control} onChange={setToken} autoFocus />}
        </Field>
        <Button look="primary" type="submit" busy={busy} disabled={!token.trim()}>
          Log in
        </Button>
        <hr />
        <p>Or, on the node, make a link that works once:</p>
        <CodeBlock title="shell" code="keyway dashboard" />
      </form>
    </main>
  );
}

/** The code of a link; it leaves the address bar and the history at once. */
function takeCode(): string | null {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) history.replaceState(null, "", "/login");
  return code;
}

function reason(error: unknown, isCode: boolean): string {
  if (!(error instanceof ApiError)) return "Logging in failed.";
  if (!error.isUnauthorized) return error.message;
  return isCode
    ? "This link was used already, or is too old. Make a new one on the node: keyway dashboard"
    : "The node does not know this token, or it has expired.";
}
