/** What the kernel program's codes mean, for people. */

import type { InterfaceStatus } from "@/api/node";

export const REASONS: Record<string, string> = {
  not_ip: "Not IP",
  other: "Not for the endpoint",
  from_peer: "From a known peer",
  from_peer_hidden: "From a known peer, port not readable",
  to_peer: "To a known peer",
  to_stranger: "To somebody who is no peer any more",
  not_overlay: "Not through the overlay",
  fragment: "Fragment without a port",
  extension_headers: "Odd IPv6 extension headers",
  truncated: "Ends before the port",
  outside_overlay: "From outside the overlay’s networks",
  unknown_peer: "From an unknown peer",
};

export function reasonName(reason: string): string {
  return REASONS[reason] ?? reason;
}

export const ROLES: Record<InterfaceStatus["role"], string> = {
  overlay: "Overlay: peers come in here",
  outer: "Outside: nothing may reach the endpoint",
  gone: "Interfaces that are gone",
};

export const HOOKS: Record<InterfaceStatus["mode"], string> = {
  native: "XDP in the driver",
  generic: "XDP in the network stack",
  tc: "tc",
  excluded: "Excluded by the configuration",
  none: "Not covered",
};

export const MODES = {
  required: "Required: the node does not serve without the program in front.",
  preferred: "Preferred: without the program, the node admits in user space alone.",
  off: "Off: the node admits in user space alone.",
} as const;
