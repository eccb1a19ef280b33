import { join } from "node:path";

/** Where everything of one region lies: DATA/eu/… */
export interface RegionPaths {
  readonly root: string;
  readonly logs: string;
  readonly secrets: string;
  readonly adminTokenFile: string;
  readonly redisPasswordFile: string;
  readonly pki: string;
  readonly stateFile: string;
  readonly lockFile: string;
}

export function regionPaths(dataDir: string, region: string): RegionPaths {
  const root = join(dataDir, region);
  const secrets = join(root, "secrets");
  return {
    root,
    logs: join(root, "logs"),
    secrets,
    adminTokenFile: join(secrets, "admin-token"),
    redisPasswordFile: join(secrets, "redis-password"),
    pki: join(root, "pki"),
    stateFile: join(root, "up.json"),
    lockFile: join(root, "up.lock"),
  };
}

/** What operators show to a host's keeper. */
export const keeperTokenFileOf = (paths: RegionPaths, hostId: string): string =>
  join(paths.secrets, `${hostId}-keeper`);

export const secretFileOf = (paths: RegionPaths, hostId: string): string => join(paths.secrets, `${hostId}-sip`);
