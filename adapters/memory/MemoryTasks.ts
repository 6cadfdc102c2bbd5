/** Task definitions in memory: see `TaskStorage` for the laws. */
import { Effect, Equal, Option } from "effect"
import { type LastRun, saidMax, type TaskStorage } from "../../core/services/TaskStorage.ts"
import type { Final } from "../../core/domain/Run.ts"
import type { MemoryState } from "./MemoryState.ts"

export const make = (state: MemoryState): TaskStorage => ({
  define: (definitions) =>
    Effect.sync(() => {
      for (const definition of definitions) {
        const key = `${definition.namespace} ${definition.name}`
        const known = state.tasks.get(key)
        if (known !== undefined && Equal.equals(known.definition, definition)) continue
        state.tasks.set(key, { definition, revision: (known?.revision ?? 0) + 1 })
      }
    }),
  introduce: (definition) =>
    Effect.sync(() => {
      const key = `${definition.namespace} ${definition.name}`
      if (!state.tasks.has(key)) state.tasks.set(key, { definition, revision: 1 })
    }),
  find: (namespace, name) =>
    Effect.sync(() => Option.fromNullishOr(state.tasks.get(`${namespace} ${name}`))),
  list: (namespace) =>
    Effect.sync(() =>
      [...state.tasks.values()]
        .filter(({ definition }) => definition.namespace === namespace)
        .sort((a, b) => a.definition.name < b.definition.name ? -1 : 1)
    ),
  lasts: (namespace) =>
    Effect.sync(() => {
      const lasts = new Map<string, LastRun>()
      for (
        const { claimedAt, failure, finishedAt, id, result, spec, state: end } of state.runs
          .values()
      ) {
        if (spec.namespace !== namespace || claimedAt === undefined) continue
        if (finishedAt === undefined || !state.tasks.has(`${namespace} ${spec.task}`)) continue
        const known = lasts.get(spec.task)
        if (known !== undefined && known.finishedAt > finishedAt) continue
        lasts.set(spec.task, {
          task: spec.task,
          run: id,
          state: end._tag as Final,
          attempt: end.attempt,
          claimedAt,
          finishedAt,
          said: (end._tag === "Succeeded" ? result : failure?.message)?.slice(0, saidMax),
        })
      }
      return [...lasts.values()]
    }),
})
