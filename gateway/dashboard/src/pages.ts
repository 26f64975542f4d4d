/** Every page: its address, its name and where it is loaded from when it is first opened. */

import {
  ChartColumn,
  Gauge,
  Network,
  Plug,
  ScrollText,
  Settings2,
  ShieldCheck,
  ShieldHalf,
  SlidersHorizontal,
  History,
  type LucideIcon,
} from "lucide-react";
import { lazy, type ComponentType } from "react";

export interface Page {
  /** First segment of the address. */
  path: string;
  title: string;
  icon: LucideIcon;
  component: ComponentType;
}

export interface PageGroup {
  title: string;
  pages: readonly Page[];
}

export const PAGES: readonly PageGroup[] = [
  {
    title: "Access",
    pages: [
      {
        path: "providers",
        title: "Providers",
        icon: Plug,
        component: lazy(() => import("./pages/providers/ProvidersPage")),
      },
      {
        path: "policies",
        title: "Policies",
        icon: ShieldCheck,
        component: lazy(() => import("./pages/policies/PoliciesPage")),
      },
      {
        path: "guardrails",
        title: "Guardrails",
        icon: SlidersHorizontal,
        component: lazy(() => import("./pages/guardrails/GuardrailsPage")),
      },
      {
        path: "limits",
        title: "Limits",
        icon: Gauge,
        component: lazy(() => import("./pages/limits/LimitsPage")),
      },
    ],
  },
  {
    title: "Traffic",
    pages: [
      {
        path: "usage",
        title: "Usage",
        icon: ChartColumn,
        component: lazy(() => import("./pages/usage/UsagePage")),
      },
      {
        path: "logs",
        title: "Logs",
        icon: ScrollText,
        component: lazy(() => import("./pages/logs/LogsPage")),
      },
      {
        path: "peers",
        title: "Peers",
        icon: Network,
        component: lazy(() => import("./pages/peers/PeersPage")),
      },
      {
        path: "admission",
        title: "Admission",
        icon: ShieldHalf,
        component: lazy(() => import("./pages/admission/AdmissionPage")),
      },
    ],
  },
  {
    title: "Node",
    pages: [
      {
        path: "settings",
        title: "Settings",
        icon: Settings2,
        component: lazy(() => import("./pages/settings/SettingsPage")),
      },
      {
        path: "audit",
        title: "Audit",
        icon: History,
        component: lazy(() => import("./pages/audit/AuditPage")),
      },
    ],
  },
];

export const FIRST_PAGE = "providers";

export function pageAt(path: string): Page | undefined {
  return PAGES.flatMap((group) => group.pages).find((page) => page.path === path);
}
