import {
  createPaginatedRowModel,
  createSortedRowModel,
  rowPaginationFeature,
  rowSortingFeature,
  tableFeatures,
  useTable,
  type ColumnDef,
} from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, ArrowUp, ChevronLeft, ChevronRight, ChevronsUpDown } from "lucide-react";
import { useMemo, useRef, type MouseEvent, type ReactNode } from "react";
import type { ApiError } from "@/api/http";
import { count } from "@/format/number";
import { Link, navigate } from "@/shell/router";
import { IconButton } from "./Button";
import { classes } from "./classes";
import css from "./DataTable.module.css";
import { ErrorState, Skeleton } from "./States";

export interface Column<Row> {
  id: string;
  header: ReactNode;
  cell: (row: Row) => ReactNode;
  /** What the rows are sorted by; without it the column cannot be. */
  sort?: (row: Row) => string | number | boolean;
  align?: "end";
  /** Takes the room that is left. */
  grow?: boolean;
  /** Left out on screens narrower than this, in pixels. */
  from?: 480 | 640 | 900 | 1200;
  /** In a row under the others: of all rows that match, not only of those on this page. */
  sum?: (rows: readonly Row[]) => ReactNode;
  /** Holds the link of a row (see `href`). Buttons and switches belong into other columns. */
  name?: boolean;
}

export interface Sort {
  id: string;
  desc: boolean;
}

/** Pages that the node cuts, where a table has more rows than one answer. */
export interface ServerPages {
  /** From 1. */
  page: number;
  pages: number;
  total: number;
  /** There are more, which are not counted. */
  totalIsCapped?: boolean;
  onPage: (page: number) => void;
  sort?: Sort;
  onSort?: (sort: Sort) => void;
}

interface Props<Row> {
  /** Of the table, for screen readers. */
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[] | undefined;
  rowKey: (row: Row) => string;
  /** Where a click on the row leads. */
  href?: (row: Row) => string;
  error?: ApiError | null;
  onRetry?: () => void;
  /** In place of the table when there are no rows at all. */
  empty?: ReactNode;
  /** What is typed into a search field of the page, and the text that it looks through. */
  search?: { value: string; text: (row: Row) => string };
  sortedBy?: Sort;
  /** Rows of one page; `all` in a scrolled box where only those in sight are drawn. */
  pageSize?: number | "all";
  server?: ServerPages;
  /** Lower rows, for many figures. */
  dense?: boolean;
}

const PAGE_SIZE = 25;
/** Estimate, before a row is measured. */
const ROW_PX = 46;
/** Fewer are drawn whole. */
const VIRTUAL_FROM = 60;

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  rowPaginationFeature,
  paginatedRowModel: createPaginatedRowModel(),
});
type Features = typeof features;

/** Rows to look through: sorted by a click, searched, in pages, and what there is to say without rows. */
export function DataTable<Row extends object>(props: Props<Row>) {
  if (props.error && !props.rows) {
    return (
      <div className={css.aside}>
        <ErrorState error={props.error} what={props.label} onRetry={() => props.onRetry?.()} />
      </div>
    );
  }
  if (!props.rows) return <Skeleton lines={5} />;
  if (props.rows.length === 0 && props.empty) return <>{props.empty}</>;
  return <Rows {...props} rows={props.rows} />;
}

function Rows<Row extends object>(props: Props<Row> & { rows: readonly Row[] }) {
  const { rows, columns, search, server, pageSize = PAGE_SIZE, sortedBy } = props;
  const data = useMemo(() => found(rows, search), [rows, search?.value]);
  const definitions = useMemo(() => columns.map(definition), [columns]);
  const isWhole = pageSize === "all" || server !== undefined;
  const table = useTable<Features, Row>({
    features,
    data,
    columns: definitions,
    getRowId: props.rowKey,
    manualSorting: server !== undefined,
    initialState: {
      sorting: sortedBy ? [sortedBy] : [],
      pagination: { pageIndex: 0, pageSize: isWhole ? Number.MAX_SAFE_INTEGER : pageSize },
    },
    // A refreshed row is no reason to leave the page; a search is.
    autoResetPageIndex: false,
    sortDescFirst: false,
  });
  const lastPage = Math.max(0, table.getPageCount() - 1);
  if (table.state.pagination.pageIndex > lastPage) table.setPageIndex(lastPage);

  const shown = table.getRowModel().rows.map((row) => row.original);
  const sorting = server?.sort ?? table.state.sorting[0];
  const sortBy = (id: string) => {
    const next = { id, desc: sorting?.id === id && !sorting.desc };
    if (server) server.onSort?.(next);
    else table.setSorting([next]);
  };
  const pages = server ?? {
    page: table.state.pagination.pageIndex + 1,
    pages: table.getPageCount(),
    total: data.length,
    onPage: (page: number) => table.setPageIndex(page - 1),
  };
  return (
    <>
      <Body {...props} rows={shown} all={data} sorting={sorting} sortBy={sortBy} />
      {shown.length === 0 && <p className={css.aside}>Nothing matches.</p>}
      {pages.pages > 1 && <Pages {...pages} />}
    </>
  );
}

interface BodyProps<Row> extends Props<Row> {
  rows: readonly Row[];
  /** On every page. */
  all: readonly Row[];
  sorting: Sort | undefined;
  sortBy: (id: string) => void;
}

function Body<Row extends object>({
  rows,
  all,
  columns,
  sorting,
  sortBy,
  ...props
}: BodyProps<Row>) {
  const box = useRef<HTMLDivElement>(null);
  const isVirtual = props.pageSize === "all" && rows.length > VIRTUAL_FROM;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
    enabled: isVirtual,
  });
  const drawn = virtual.getVirtualItems();
  const before = isVirtual ? (drawn[0]?.start ?? 0) : 0;
  const after = isVirtual ? virtual.getTotalSize() - (drawn.at(-1)?.end ?? 0) : 0;
  const visible = isVirtual ? drawn.map(({ index }) => index) : rows.map((_, index) => index);
  return (
    <div
      ref={box}
      className={classes(css.box, isVirtual && css.tall)}
      // It scrolls, so it has to be reachable by keyboard.
      tabIndex={0}
      role="region"
      aria-label={props.label}
    >
      <table
        className={classes(css.table, props.dense && css.dense)}
        aria-rowcount={rows.length + 1}
      >
        <thead>
          <tr>
            {columns.map((column) => (
              <Head
                key={column.id}
                column={column}
                sorting={sorting?.id === column.id ? sorting : undefined}
                onSort={() => sortBy(column.id)}
              />
            ))}
          </tr>
        </thead>
        <tbody>
          {before > 0 && <Gap height={before} columns={columns.length} />}
          {visible.map((index) => {
            const row = rows[index];
            if (row === undefined) return null;
            return (
              <tr
                key={props.rowKey(row)}
                ref={isVirtual ? virtual.measureElement : undefined}
                data-index={index}
                aria-rowindex={index + 2}
                className={props.href && css.link}
                onClick={props.href && ((event) => follow(event, props.href?.(row)))}
              >
                {columns.map((column) => (
                  <td key={column.id} className={cellClass(column)}>
                    {column.name && props.href ? (
                      <Link href={props.href(row)} className={css.name}>
                        {column.cell(row)}
                      </Link>
                    ) : (
                      column.cell(row)
                    )}
                  </td>
                ))}
              </tr>
            );
          })}
          {after > 0 && <Gap height={after} columns={columns.length} />}
        </tbody>
        {columns.some(({ sum }) => sum) && (
          <tfoot>
            <tr>
              {columns.map((column) => (
                <td key={column.id} className={cellClass(column)}>
                  {column.sum?.(all)}
                </td>
              ))}
            </tr>
          </tfoot>
        )}
      </table>
    </div>
  );
}

function Head<Row>({
  column,
  sorting,
  onSort,
}: {
  column: Column<Row>;
  sorting: Sort | undefined;
  onSort: () => void;
}) {
  const order = sorting && (sorting.desc ? "descending" : "ascending");
  const Arrow = !sorting ? ChevronsUpDown : sorting.desc ? ArrowDown : ArrowUp;
  return (
    <th scope="col" className={cellClass(column)} aria-sort={order}>
      {column.sort ? (
        <button type="button" className={css.sort} onClick={onSort}>
          {column.header}
          <Arrow aria-hidden="true" />
        </button>
      ) : (
        column.header
      )}
    </th>
  );
}

/** Stands for rows that are out of sight. */
function Gap({ height, columns }: { height: number; columns: number }) {
  return (
    <tr aria-hidden="true">
      <td colSpan={columns} className={css.gap} style={{ height }} />
    </tr>
  );
}

function Pages({ page, pages, total, totalIsCapped, onPage }: ServerPages) {
  return (
    <nav className={css.pages} aria-label="Pages">
      <span>
        Page {count(page)} of {count(pages)} ·{" "}
        {totalIsCapped ? `more than ${count(total)}` : `${count(total)} in all`}
      </span>
      <IconButton label="Previous page" disabled={page <= 1} onClick={() => onPage(page - 1)}>
        <ChevronLeft />
      </IconButton>
      <IconButton label="Next page" disabled={page >= pages} onClick={() => onPage(page + 1)}>
        <ChevronRight />
      </IconButton>
    </nav>
  );
}

function definition<Row extends object>(column: Column<Row>): ColumnDef<Features, Row> {
  return {
    id: column.id,
    accessorFn: (row: Row) => column.sort?.(row),
    enableSorting: column.sort !== undefined,
    sortFn: (a, b, id) => compare(a.getValue(id), b.getValue(id)),
  };
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === "string" && typeof b === "string") {
    return a.localeCompare(b, "en", { numeric: true, sensitivity: "base" });
  }
  return Number(a) - Number(b);
}

function found<Row>(rows: readonly Row[], search: Props<Row>["search"]): Row[] {
  const words = search?.value.toLowerCase().split(/\s+/).filter(Boolean) ?? [];
  if (!search || words.length === 0) return [...rows];
  return rows.filter((row) => {
    const text = search.text(row).toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function follow(event: MouseEvent<HTMLElement>, href: string | undefined): void {
  // What can be clicked by itself inside a row does not open the row; nor does selecting text.
  const inner = (event.target as Element).closest("a, button, input, label, [role=menuitem]");
  // Clicks in portals (a row's menu) bubble through React's tree.
  const isOutside = !event.currentTarget.contains(event.target as Node);
  if (!href || inner || isOutside || getSelection()?.toString()) return;
  navigate(href);
}

function cellClass<Row>(column: Column<Row>): string {
  return classes(
    column.align === "end" && css.end,
    column.grow && css.grow,
    column.from && css[`from${column.from}`],
  );
}
