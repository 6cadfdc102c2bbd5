/**
 * Vitest's global setup: answers the workers' question where the test server is, and starts it when
 * the first one asks, so that tests without a database do not wait for one.
 *
 * The server of `BELFRY_TEST_DATABASE_URL` is used instead where it is set; its account must be
 * allowed to create databases. All that is made there carries the prefix of the run, and is dropped
 * after it.
 *
 * A project of `vitest.config.ts` that is named after a PostgreSQL runs on that one, from the folder
 * that its environment names.
 */
import { Cause, Effect, Exit, Redacted, Scope } from "effect"
import { randomBytes } from "node:crypto"
import { createServer } from "node:http"
import type { TestProject } from "vitest/node"
import * as LocalServer from "./LocalServer.ts"
import { LocalServerUnavailable } from "./LocalServerUnavailable.ts"
import { type Answer, dropAll } from "./TestDatabase.ts"

export default async (project: TestProject) => {
  const scope = Scope.makeUnsafe()
  const prefix = `belfry_test_${randomBytes(5).toString("hex")}`
  const programs = project.config.env?.["BELFRY_TEST_POSTGRES"]
  const given = programs === undefined ? process.env["BELFRY_TEST_DATABASE_URL"] : undefined

  let answer: Promise<Answer> | undefined
  const find = given === undefined
    ? start(prefix, programs)
    : Effect.succeed({ url: given, prefix })

  // The answer holds a password, and other accounts of the machine may ask as well.
  const path = `/${randomBytes(16).toString("hex")}`
  const desk = createServer(async (request, response) => {
    if (request.url !== path) return response.writeHead(404).end()
    answer ??= find.pipe(Scope.provide(scope), Effect.runPromise)
    response.end(JSON.stringify(await answer))
  })
  await new Promise<void>((resolve) => desk.listen(0, "127.0.0.1", resolve))
  const address = desk.address()
  if (typeof address !== "object" || !address) throw new Error("no address to answer at")
  project.provide("belfryTestServer", `http://127.0.0.1:${address.port}${path}`)

  return async () => {
    desk.close()
    desk.closeAllConnections()
    const answered = await answer
    if (given !== undefined && answered !== undefined) {
      await Effect.runPromise(dropAll(Redacted.make(given), prefix))
    }
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

// A crash may lose the data of tests, so they need not wait for the disk.
const settings = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" }

const start = (prefix: string, programs: string | undefined) =>
  LocalServer.start({ settings, programs }).pipe(
    Effect.map(({ url }): Answer => ({ url: Redacted.value(url()), prefix })),
    // Whoever asks must get an answer, whatever went wrong.
    Effect.catchCause((cause) => {
      const failure = Cause.squash(cause)
      return Effect.succeed<Answer>(
        failure instanceof LocalServerUnavailable
          ? { reason: failure.reason, remedy: failure.remedy }
          : { reason: Cause.pretty(cause), remedy: "this is a mistake in LocalServer.ts" },
      )
    }),
  )

declare module "vitest" {
  interface ProvidedContext {
    readonly belfryTestServer: string
  }
}
