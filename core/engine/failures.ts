/** From what went wrong to what is stored of it, cut to bounds. */
import { Cause } from "effect"
import type { Failure } from "../domain/RunView.ts"

const messageMax = 4096
const stackMax = 16_384

const cut = (text: string, max: number): string =>
  text.length <= max ? text : `${text.slice(0, max - 1)}…`

/** What is known of any thrown or failed value. */
export const failureOf = (value: unknown): Failure => {
  if (value instanceof Error) {
    const tag = (value as { _tag?: unknown })._tag
    return {
      tag: cut(typeof tag === "string" ? tag : value.name, 256),
      message: cut(value.message, messageMax),
      ...(value.stack !== undefined && { stack: cut(value.stack, stackMax) }),
    }
  }
  const { _tag: tag, message } = (value ?? {}) as { _tag?: unknown; message?: unknown }
  return {
    tag: typeof tag === "string" ? cut(tag, 256) : "Failure",
    message: cut(
      typeof value === "string" ? value : typeof message === "string" ? message : inspect(value),
      messageMax,
    ),
  }
}

const inspect = (value: unknown): string => {
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return String(value)
  }
}

/** The failure of an attempt that died of `cause`, its first reason that is not an interruption. */
export const failureOfCause = (cause: Cause.Cause<unknown>): Failure => {
  for (const reason of cause.reasons) {
    if (Cause.isFailReason(reason)) return failureOf(reason.error)
    if (Cause.isDieReason(reason)) return failureOf(reason.defect)
  }
  return { tag: "Interrupted", message: "the handler interrupted itself" }
}
