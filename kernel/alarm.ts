/** Something that will happen later, and may still be called off. */
export interface Alarm {
  cancel(): void;
}

/** How the shell asks to be woken. Simulated time has one of its own. */
export type SetAlarm = (afterMs: number, run: () => void) => Alarm;

export const systemAlarm: SetAlarm = (afterMs, run) => {
  const handle = setTimeout(run, Math.max(0, Math.ceil(afterMs)));
  return { cancel: () => clearTimeout(handle) };
};
