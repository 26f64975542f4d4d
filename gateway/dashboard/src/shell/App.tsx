import { Suspense, useEffect, useRef } from "react";
import { useSession } from "@/api/queries";
import { ErrorState, Skeleton } from "@/components/States";
import { FIRST_PAGE, pageAt } from "@/pages";
import css from "./App.module.css";
import { ErrorBoundary } from "./ErrorBoundary";
import { LoginPage } from "./LoginPage";
import { NotFound } from "./NotFound";
import { navigate, useRoute } from "./router";
import { SessionProvider } from "./session";
import { Sidebar } from "./Sidebar";

/** Who is there, then the page that the address names. */
export function App() {
  const { page } = useRoute();
  const session = useSession();
  if (page === "login" || session.error?.isUnauthorized) return <LoginPage />;
  // The overlay knows the peer, but it is no admin's.
  if (session.data?.role === null)
    return <LoginPage known={session.data.name ?? session.data.actor} />;
  if (session.data) {
    return (
      <SessionProvider session={session.data}>
        <Shell />
      </SessionProvider>
    );
  }
  return (
    <main className={css.alone}>
      {session.error ? (
        <ErrorState error={session.error} what="the node" onRetry={() => void session.refetch()} />
      ) : (
        <Skeleton />
      )}
    </main>
  );
}

function Shell() {
  const { page } = useRoute();
  const main = useRef<HTMLElement>(null);
  const before = useRef("");
  useEffect(() => {
    if (page === "") navigate(`/${FIRST_PAGE}`, { replace: true });
  }, [page]);
  // A new page is read from its beginning, also by a screen reader.
  useEffect(() => {
    if (before.current) main.current?.focus();
    before.current = page;
    scrollTo(0, 0);
  }, [page]);
  const Page = pageAt(page || FIRST_PAGE)?.component ?? NotFound;
  return (
    <div className={css.shell}>
      <a href="#main" className={css.skip}>
        Skip to the page
      </a>
      <Sidebar />
      <main id="main" ref={main} tabIndex={-1} className={css.main}>
        <ErrorBoundary key={page}>
          <Suspense fallback={<Skeleton lines={6} />}>
            <Page />
          </Suspense>
        </ErrorBoundary>
      </main>
    </div>
  );
}
