import { eventSinkContract } from "../../boundary/event-sink.contract.ts";
import { MemoryEventSink } from "./event-sink.ts";

eventSinkContract("memory", async (publisher) => new MemoryEventSink({ publisher, retryAfterMs: 1 }));
