import { Download } from "lucide-react";
import { address } from "@/api/http";
import { Card } from "@/components/Card";
import { DownloadLink } from "@/components/DownloadLink";
import css from "./settings.module.css";

/** Everything that operators set, to be kept elsewhere. */
export function StoreCard({ isOwner }: { isOwner: boolean }) {
  return (
    <Card
      title="Backup"
      actions={
        isOwner && (
          <DownloadLink
            href={address("/store/export")}
            file="keyway-store.jsonl"
            icon={<Download />}
          >
            Export the store
          </DownloadLink>
        )
      }
    >
      <p className={css.text}>
        Providers, policies, peers, tokens and settings as lines of JSON. Keys stay sealed in it, so
        it is of use only together with the master key. With the node stopped,{" "}
        <code>keyway store import</code> takes it back.
        {!isOwner && " Only an owner exports it."}
      </p>
    </Card>
  );
}
