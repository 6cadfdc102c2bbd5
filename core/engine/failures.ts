/** From what went wrong to what is stored of it, cut to bounds. */
import { Cause } from "effect"
import { cut } from "../domain/given.ts"
import type { Failure } from "../domain/RunView.ts"

const messageMax = 4096
const stackMax = 16_384

/** So many causes are told, and all that they say is at most so long. */
export const causesMax = 8
const causesLengthMax = 16_384

/** What is known of any thrown or failed value, and of what it came from. */
export const failureOf = (value: unknown): Failure => {
  const causes = causesOf(value)
  return { ...saidOf(value), ...(causes.length > 0 && { causes }) }
}

/** A cause that comes again would come for ever. */
const causesOf = (value: unknown): NonNullable<Failure["causes"]> => {
  const seen = new Set([value])
  const causes: Array<ReturnType<typeof saidOf>> = []
  let left = causesLengthMax
  for (let each = causeOf(value); each !== undefined; each = causeOf(each)) {
    if (seen.has(each) || causes.length === causesMax || left <= 0) break
    seen.add(each)
    const { message, stack, tag } = saidOf(each)
    const kept = stack === undefined ? undefined : cut(stack, left)
    left -= message.length + (kept?.length ?? 0)
    causes.push({ tag, message, ...(kept !== undefined && { stack: kept }) })
  }
  return causes
}

const causeOf = (value: unknown): unknown =>
  typeof value === "object" && value !== null ? (value as { cause?: unknown }).cause : undefined

const saidOf = (value: unknown): Pick<Failure, "tag" | "message" | "stack"> => {
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
