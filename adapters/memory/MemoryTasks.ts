/** Task definitions in memory: see `TaskStorage` for the laws. */
import { Effect, Equal, Option } from "effect"
import type { TaskStorage } from "../../core/services/TaskStorage.ts"
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
  find: (namespace, name) =>
    Effect.sync(() => Option.fromNullishOr(state.tasks.get(`${namespace} ${name}`))),
  list: (namespace) =>
    Effect.sync(() =>
      [...state.tasks.values()]
        .filter(({ definition }) => definition.namespace === namespace)
        .sort((a, b) => a.definition.name < b.definition.name ? -1 : 1)
    ),
})
