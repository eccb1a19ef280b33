// What a call that has survived must still be able to do: each exercise gets its 200s, has its effect, and ends the call.

import type { PhoneCall } from "../../phones/phone-call.ts";
import { type Exercise, TONES } from "../load-classes.ts";
import { type DrillCall, within } from "./drill-call.ts";
import type { Exercised } from "./party-protocol.ts";

const ANSWER_MS = 6_000;
const HEAR_MS = 6_000;
const OFFER_MS = 15_000;

export async function exerciseCall(call: DrillCall, exercise: Exercise): Promise<Exercised> {
  const statuses: number[] = [];
  const beganUnixMs = Date.now();
  let firstAnswerMs: number | undefined;
  const asked = async (what: string, request: Promise<{ readonly status: number }>, wanted = 200) => {
    const startMs = performance.now();
    const { status } = await within(request, ANSWER_MS, what);
    firstAnswerMs ??= performance.now() - startMs;
    statuses.push(status);
    call.mustBe(wanted, status, what);
  };
  const over = async (call_: PhoneCall, other: PhoneCall | undefined) => {
    const startMs = performance.now();
    call_.hangUp();
    await call_.until("ended", ANSWER_MS);
    firstAnswerMs ??= performance.now() - startMs;
    const status = call_.end?.status ?? 0;
    statuses.push(status);
    call.mustBe(200, status, "BYE");
    if (other !== undefined) await other.until("ended", ANSWER_MS);
  };
  const done = (failure?: string): Exercised => ({
    id: call.plan.id,
    exercise,
    statuses,
    beganUnixMs,
    ...(firstAnswerMs === undefined ? {} : { firstAnswerMs }),
    ...(failure === undefined ? {} : { failure }),
  });
  try {
    await act(call, exercise, asked, over);
    return done();
  } catch (error) {
    return done(error instanceof Error ? error.message : String(error));
  }
}

/** The target answers, the one who referred is let go, the other two talk. */
async function referred(call: DrillCall, over: End): Promise<void> {
  const target = await call.target(ANSWER_MS);
  await target.until("confirmed", ANSWER_MS);
  await call.agent.until("ended", ANSWER_MS);
  target.speak(call.targetHz);
  await call.hears(call.caller, call.targetHz, HEAR_MS);
  await call.hears(target, call.callerHz, HEAR_MS);
  return over(call.caller, target);
}

type Ask = (what: string, request: Promise<{ readonly status: number }>, wanted?: number) => Promise<void>;
type End = (call: PhoneCall, other: PhoneCall | undefined) => Promise<void>;

async function act(call: DrillCall, exercise: Exercise, asked: Ask, over: End): Promise<void> {
  const { caller } = call;
  const agent = (): PhoneCall | undefined => (call.hasAgent ? call.agent : undefined);
  const overByA = () => over(caller, agent());
  switch (exercise) {
    case "bye-a":
      return overByA();
    case "bye-b":
      return over(call.agent, caller);
    case "reinvite":
      await asked("re-INVITE", caller.reinvite("sendrecv"));
      await call.hearEachOther(HEAR_MS);
      return overByA();
    case "hold-retrieve":
      await asked("hold", caller.reinvite("sendonly"));
      await asked("retrieve", caller.reinvite("sendrecv"));
      await call.hearEachOther(HEAR_MS);
      return overByA();
    case "retrieve": {
      const holder = call.plan.loadClass.standing === "held-by-b" ? call.agent : caller;
      await asked("retrieve", holder.reinvite("sendrecv"));
      await call.hearEachOther(HEAR_MS);
      return overByA();
    }
    case "refresh-a":
      await asked("UPDATE by A", caller.request("UPDATE"));
      return overByA();
    case "refresh-b":
      await asked("UPDATE by B", call.agent.request("UPDATE"));
      return overByA();
    case "refer":
      await asked("REFER", call.agent.request("REFER", { "Refer-To": `<${call.plan.referTo}>` }), 202);
      return referred(call, over);
    case "refer-ends":
      (await call.target(ANSWER_MS)).answer();
      return referred(call, over);
    case "wake":
      caller.speak(call.callerHz);
      call.agent.speak(call.agentHz);
      await call.hearEachOther(HEAR_MS);
      return overByA();
    case "menu-key":
      await caller.press("1");
      await call.hears(caller, TONES.chosen, HEAR_MS);
      return overByA();
    case "prompt-goes-on":
      await call.hears(caller, TONES.prompt, HEAR_MS);
      return overByA();
    case "queue-offer": {
      const offered = await call.nextAgent(OFFER_MS);
      await offered.until("confirmed", ANSWER_MS);
      await call.hearEachOther(HEAR_MS);
      return over(offered, caller);
    }
    case "agent-answers":
      call.agent.answer();
      await call.agent.until("confirmed", ANSWER_MS);
      call.agent.speak(call.agentHz);
      await call.hearEachOther(HEAR_MS);
      return overByA();
    case "caller-gives-up":
      await over(caller, call.agent);
      if (call.agent.end?.how !== "cancel")
        throw new Error(`the phone that rang saw ${call.agent.end?.how}, no CANCEL`);
      return;
  }
}
