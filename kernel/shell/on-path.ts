import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Whether a program, by name or by path, can be run. @param alsoIn folders that PATH may leave out, as "/usr/sbin" for users */
export function onPath(program: string, alsoIn: readonly string[] = []): boolean {
  const folders = program.includes("/") ? [""] : [...(process.env.PATH ?? "").split(delimiter), ...alsoIn];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
