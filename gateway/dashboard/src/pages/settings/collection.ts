import type { Settings } from "@/api/types";

/** What the form changes of the settings. */
export type Collection = Pick<
  Settings,
  | "enable_log_collection"
  | "enable_prompt_collection"
  | "redact_pii"
  | "access_log_retention_days"
  | "prompt_retention_days"
>;

export function changed(before: Collection, after: Collection): boolean {
  return (
    before.enable_log_collection !== after.enable_log_collection ||
    before.enable_prompt_collection !== after.enable_prompt_collection ||
    before.redact_pii !== after.redact_pii ||
    before.access_log_retention_days !== after.access_log_retention_days ||
    before.prompt_retention_days !== after.prompt_retention_days
  );
}

/** More of what people wrote will be kept than before. */
export function isFuller(before: Collection, after: Collection): boolean {
  if (!after.enable_prompt_collection) return false;
  return !before.enable_prompt_collection || (before.redact_pii && !after.redact_pii);
}
