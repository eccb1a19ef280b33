/** Columns as wide as their widest cell; the first row is the head. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => [...(row[column] ?? "")].length)));
  const line = (row: readonly string[]) =>
    head
      .map((_, column) => {
        const cell = row[column] ?? "";
        return cell + " ".repeat((widths[column] ?? 0) - [...cell].length);
      })
      .join("  ")
      .trimEnd();
  return all.map(line).join("\n");
}

/** "3 s", "4 min", "2 h 5 min": how long something has lasted. */
export function showAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
