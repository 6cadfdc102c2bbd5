/**
 * What the command says when it cannot do what was asked: what is wrong, what to do about it, and a
 * command to try. Its exit code is part of the interface.
 */
import { Data } from "effect"
import { asHere } from "./started.ts"

export const exitCodes = {
  failed: 1,
  usage: 2,
  notFound: 3,
  notAllowed: 4,
  unreachable: 5,
  unsuccessful: 7,
  interrupted: 130,
} as const

export class Problem extends Data.TaggedError("Problem")<{
  readonly kind: keyof typeof exitCodes
  readonly what: string
  readonly fix?: string | undefined
  /** A command to try, which is told as it can be copied. */
  readonly hint?: string | undefined
}> {
  get exitCode() {
    return exitCodes[this.kind]
  }

  override get message() {
    return this.what
  }
}

/** As people read it. */
export const render = ({ fix, hint, what }: Problem): string =>
  [
    `✗ ${what}`,
    ...(fix === undefined ? [] : [`  Fix  ${fix}`]),
    ...(hint === undefined ? [] : [`  Try  ${asHere(hint)}`]),
  ].join("\n")

/** As programs read it. */
export const toJson = ({ exitCode, fix, hint, kind, what }: Problem) => ({
  error: { kind, exitCode, what, fix, hint: hint && asHere(hint) },
})
