import * as Dialog from "@radix-ui/react-dialog";
import { LogOut, Menu as MenuIcon, Monitor, Moon, Sun, X } from "lucide-react";
import { useEffect, useState } from "react";
import { useStatus } from "@/api/queries";
import { Status } from "@/components/Badge";
import { IconButton } from "@/components/Button";
import { Menu } from "@/components/Menu";
import { toast } from "@/components/Toast";
import { Tooltip } from "@/components/Tooltip";
import { FIRST_PAGE, PAGES } from "@/pages";
import { Brand } from "./Brand";
import { Link, navigate, useRoute } from "./router";
import { logOut, useWho } from "./session";
import css from "./Sidebar.module.css";
import { useTheme, type Theme } from "./theme";

/** Navigation; on narrow screens a bar whose button opens it. */
export function Sidebar() {
  const { page } = useRoute();
  const [open, setOpen] = useState(false);
  useEffect(() => setOpen(false), [page]);
  return (
    <>
      <div className={css.side}>
        <Contents />
      </div>
      <header className={css.bar}>
        <Brand />
        <Dialog.Root open={open} onOpenChange={setOpen}>
          <Dialog.Trigger asChild>
            <IconButton label="Open the navigation">
              <MenuIcon />
            </IconButton>
          </Dialog.Trigger>
          <Dialog.Portal>
            <div className={css.overlay} data-scroll-lock="">
              <Dialog.Content className={css.drawer} aria-describedby={undefined}>
                <Dialog.Title className="visually-hidden">Navigation</Dialog.Title>
                <Dialog.Close className={css.close} aria-label="Close the navigation">
                  <X aria-hidden="true" />
                </Dialog.Close>
                <Contents />
              </Dialog.Content>
            </div>
          </Dialog.Portal>
        </Dialog.Root>
      </header>
    </>
  );
}

function Contents() {
  const { page } = useRoute();
  return (
    <div className={css.contents}>
      <Link href={`/${FIRST_PAGE}`} className={css.home} aria-label="Keyway, start">
        <Brand />
      </Link>
      <nav aria-label="Pages">
        {PAGES.map((group) => (
          <div key={group.title} className={css.group}>
            <h2>{group.title}</h2>
            <ul>
              {group.pages.map(({ path, title, icon: Icon }) => (
                <li key={path}>
                  <Link
                    href={`/${path}`}
                    className={css.link}
                    aria-current={page === path ? "page" : undefined}
                  >
                    <Icon aria-hidden="true" />
                    {title}
                  </Link>
                </li>
              ))}
            </ul>
          </div>
        ))}
      </nav>
      <Foot />
    </div>
  );
}

function Foot() {
  const who = useWho();
  return (
    <div className={css.foot}>
      <NodeState />
      <div className={css.row}>
        <span className={css.who} title={`${who.actor} (${who.via})`}>
          {who.actor} <span>{who.role}</span>
        </span>
        <ThemeMenu />
        <IconButton label="Log out" onClick={() => void leave()}>
          <LogOut />
        </IconButton>
      </div>
    </div>
  );
}

async function leave() {
  try {
    await logOut();
    navigate("/login");
  } catch (error) {
    toast(error instanceof Error ? error.message : "Logging out failed", "bad");
  }
}

function NodeState() {
  const status = useStatus();
  if (status.error) return <Status tone="bad">Node does not answer</Status>;
  if (!status.data) return <Status tone="neutral">Asking the node</Status>;
  const { ready, not_ready, version } = status.data;
  return ready ? (
    <Status tone="ok">
      Ready <span className={css.version}>{version}</span>
    </Status>
  ) : (
    <Tooltip text={not_ready.join("; ") || "Not ready"}>
      <button type="button" className={css.notReady}>
        <Status tone="warn">
          Not ready <span className={css.version}>{version}</span>
        </Status>
      </button>
    </Tooltip>
  );
}

const THEMES = [
  { theme: "light", label: "Light", icon: Sun },
  { theme: "dark", label: "Dark", icon: Moon },
  { theme: "system", label: "As the system", icon: Monitor },
] as const satisfies readonly { theme: Theme; label: string; icon: typeof Sun }[];

function ThemeMenu() {
  const [theme, choose] = useTheme();
  const { icon: Icon } = THEMES.find((one) => one.theme === theme) ?? THEMES[2];
  return (
    <Menu
      trigger={
        <IconButton label="Theme">
          <Icon />
        </IconButton>
      }
      items={THEMES.map(({ theme, label, icon: ItemIcon }) => ({
        label,
        icon: <ItemIcon />,
        onSelect: () => choose(theme),
      }))}
    />
  );
}
