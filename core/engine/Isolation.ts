/**
 * Carries handlers out in a thread or a process of their own: what blocks or crashes there holds up
 * nobody here, and what goes on past its time is ended there.
 *
 * It is an option of a program, since it must know which module to load there: an executor without it
 * refuses the tasks whose policy asks for it.
 */
import { Context } from "effect"
import type { Handler } from "./Handler.ts"

export class Isolation extends Context.Service<Isolation, {
  /** The handler of the same task whose code is that of the other side. */
  readonly isolated: (handler: Handler, kind: "thread" | "process") => Handler
}>()("belfry/core/engine/Isolation") {}
