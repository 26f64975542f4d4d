import type { CatalogEntry } from "@/api/types";
import { Field } from "@/components/Field";
import { SecretFile, SecretInput } from "@/components/Input";

interface Props {
  entry: CatalogEntry;
  /** Fingerprints of what the node has; none while it is being connected. */
  stored?: string | undefined;
  onChange: (key: string) => void;
  error: string | undefined;
  autoFocus?: boolean;
}

/** A provider's key. It goes to the node once and never comes back. */
export function KeyField({ entry, stored, onChange, error, autoFocus }: Props) {
  const isFile = entry.key_kind === "google_service_account";
  const kept = stored ? `Stored, fingerprint ${stored}; leave empty to keep it. ` : "";
  return (
    <Field
      label={isFile ? "Service account key (JSON)" : "API key"}
      optional={entry.kind === "custom" && stored === undefined}
      error={error}
      hint={`${kept}${entry.key_help ?? ""}`}
    >
      {(control) =>
        isFile ? (
          <SecretFile
            {...control}
            accept="application/json,.json"
            placeholder={
              stored
                ? "Leave empty to keep the stored one"
                : "Paste the file's content, or choose it"
            }
            onChange={onChange}
          />
        ) : (
          <SecretInput
            {...control}
            autoFocus={autoFocus}
            placeholder={stored ? "Leave empty to keep the stored one" : undefined}
            onChange={onChange}
          />
        )
      }
    </Field>
  );
}
