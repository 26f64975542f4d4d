import type { TestReport } from "@/api/types";
import { Notice } from "@/components/Notice";
import { duration } from "@/format/time";

/** What came of trying a provider, and what to do about it. */
export function TestResult({ report }: { report: TestReport }) {
  if (report.ok) {
    return (
      <Notice tone="ok" title="The provider answers">
        {report.message} ({duration(report.duration_ms)})
      </Notice>
    );
  }
  return (
    <Notice tone="bad" title={`The provider ${report.status ? "refuses" : "cannot be used"}`}>
      {report.message}
      {report.remedy && <div>{report.remedy}</div>}
    </Notice>
  );
}
