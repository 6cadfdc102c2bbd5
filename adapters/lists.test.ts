/** Lists of runs that are as large as a run may be, by a process of its own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { randomBytes } from "node:crypto"
import { specOf, times } from "../core/contract/world.ts"
import { standard } from "../core/domain/Namespace.ts"
import { payloadBytesMax } from "../core/engine/Submitting.ts"
import { Storage } from "../core/services/Storage.ts"
import { storageAt } from "./executor.fixture.ts"
import type { Listed } from "./lister.fixture.ts"
import * as TestPostgres from "./postgres/TestStorage.ts"
import { processOf, said } from "./process.fixture.ts"
import { freshFile } from "./sqlite/fresh.fixture.ts"

const fixture = new URL("./lister.fixture.ts", import.meta.url)
const runsCount = 2000
const megabyte = 1024 * 1024

describe("a list of 2,000 runs", () => {
  const test = (technology: string, address: Effect.Effect<string, unknown, Scope.Scope>) =>
    it.live(
      `B67: is fast, and takes no room for payloads of ${payloadBytesMax} bytes: ${technology}`,
      () =>
        Effect.gen(function* () {
          const at = yield* address
          const payload = JSON.stringify(randomBytes(payloadBytesMax / 2 - 1).toString("hex"))
          assert.strictEqual(payload.length, payloadBytesMax)
          yield* Effect.provide(
            Effect.forEach(times(runsCount / 20), () =>
              Storage.use(({ runs }) =>
                runs.submit(
                  times(20).map(() => specOf(standard, { payload })),
                )
              )),
            storageAt(at),
          )
          const listed = (how: "brief" | "whole") =>
            Effect.gen(function* () {
              const { lines } = yield* processOf(fixture, at, how)
              const [line] = yield* said(lines, "{")
              const seen: Listed = JSON.parse(line!)
              console.log(
                `${technology}, ${how}: ${seen.millis.toFixed(0)} ms a page, ` +
                  `${(seen.grownBytes / megabyte).toFixed(0)} MB more`,
              )
              assert.strictEqual(seen.runs, runsCount)
              return seen
            }).pipe(Effect.scoped)
          const { grownBytes, millis } = yield* listed("brief")
          assert.isBelow(grownBytes, 50 * megabyte)
          assert.isBelow(millis, 200)
          // It would show.
          assert.isAbove((yield* listed("whole")).grownBytes, 50 * megabyte)
        }).pipe(Effect.scoped),
      120_000,
    )

  test("sqlite", freshFile)
  test("postgres", TestPostgres.freshUrl)
})
