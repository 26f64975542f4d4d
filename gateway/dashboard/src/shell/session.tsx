/** Who is logged in. Auditors read; buttons that change something are not shown to them. */

import { createContext, useContext, type ReactNode } from "react";
import { post, remove } from "@/api/http";
import { queryClient } from "@/api/queries";
import type { Session } from "@/api/types";

const Current = createContext<Session | null>(null);

export function SessionProvider({ session, children }: { session: Session; children: ReactNode }) {
  return <Current value={session}>{children}</Current>;
}

export function useWho(): Session & { mayChange: boolean } {
  const session = useContext(Current);
  if (!session) throw new Error("pages are shown inside of a session only");
  return { ...session, mayChange: session.role === "owner" || session.role === "admin" };
}

/** With the code of a login link, or with a token. */
export async function logIn(proof: { code: string } | { token: string }): Promise<Session> {
  const session = await post<Session>("/session", proof);
  forget();
  // A look that began before the login would end as a refusal.
  await queryClient.cancelQueries({ queryKey: ["session"] });
  queryClient.setQueryData(["session"], session);
  return session;
}

export async function logOut(): Promise<void> {
  await remove("/session");
  forget();
  await queryClient.resetQueries({ queryKey: ["session"] });
}

/** What somebody else has read. */
function forget(): void {
  queryClient.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== "session" });
}
