/** What the tests of promises wait for and look at. */
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import * as Direct from "../adapters/direct/mod.ts"
import * as Memory from "../adapters/memory/mod.ts"
import { Server } from "../cluster/Server.ts"
import * as LocalOwnership from "../core/engine/LocalOwnership.ts"

export const rejected = async (promise: Promise<unknown>): Promise<Record<string, unknown>> => {
  try {
    await promise
  } catch (cause) {
    return cause as Record<string, unknown>
  }
  throw new Error("it was not rejected")
}

export const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** A server over memory with a token, for as long as something is done with it. */
export const withServer = async (
  use: (server: { readonly url: string; readonly token: string }) => Promise<void>,
): Promise<void> => {
  const token = "a-token-of-the-tests-and-nobody-else"
  const server = ManagedRuntime.make(
    Server.layer({ port: 0, token: Redacted.make(token), dueInterval: "20 millis" }).pipe(
      Layer.provideMerge(Direct.layer),
      Layer.provideMerge(Memory.layer),
      Layer.provideMerge(LocalOwnership.layer),
    ),
  )
  try {
    await use({ url: await server.runPromise(Server.use(({ url }) => Effect.succeed(url))), token })
  } finally {
    await server.dispose()
  }
}
