/** The storage, with a scribe beside it: writes grants and settlements into the ledger. */
import { Effect } from "effect"
import type { MemoryState } from "../../adapters/memory/mod.ts"
import { isUnplaced } from "../domain/Lane.ts"
import { Storage } from "../services/Storage.ts"
import type { Report } from "../services/RunStorage.ts"
import type { Ledger } from "./Ledger.ts"

export const watched = (
  storage: Storage["Service"],
  state: MemoryState,
  ledger: Ledger,
): Storage["Service"] => {
  const { runs } = storage

  const settled = (reports: ReadonlyArray<Report>, answers: ReadonlyArray<string>) => {
    for (const [at, { _tag, fence, run }] of reports.entries()) {
      ledger.write({ kind: "settled", run, fence, report: _tag, answer: answers[at]! })
    }
  }

  return Storage.of({
    ...storage,
    runs: {
      ...runs,
      claim: (request) =>
        Effect.tap(runs.claim(request), (claimed) =>
          Effect.sync(() => {
            if (claimed === "Lost") return
            settled(request.reports, claimed.settled)
            for (const { fence, run } of claimed.grants) {
              const { placed, spec } = state.runs.get(run)!
              const isRouted = isUnplaced(spec.lane)
              ledger.write({
                kind: "granted",
                run,
                fence,
                incarnation: request.incarnation,
                ...(isRouted && { placedWith: placed?.incarnation ?? 0 }),
              })
            }
          })),
      settle: (incarnation, reports) =>
        Effect.tap(
          runs.settle(incarnation, reports),
          (answer) => Effect.sync(() => settled(reports, answer.settled)),
        ),
      recover: (limit) =>
        Effect.tap(runs.recover(limit), (recovered) =>
          Effect.sync(() => {
            for (const { run } of recovered.runs) ledger.write({ kind: "freed", run })
          })),
      reconcile: (incarnation, known) =>
        Effect.suspend(() => {
          const before = [...state.members.get(incarnation)?.held ?? []]
            .map((entry) => ({ entry, fence: entry.state.fence }))
          return Effect.tap(runs.reconcile(incarnation, known), () =>
            Effect.sync(() => {
              for (const { entry: { id, state }, fence } of before) {
                const isHeld = state._tag === "Running" && state.fence === fence
                if (!isHeld) ledger.write({ kind: "freed", run: id })
              }
            }))
        }),
    },
  })
}
