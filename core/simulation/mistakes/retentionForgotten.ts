/** Planted: all tasks are kept for as long. */
import { TaskDefinition } from "../../domain/Task.ts"
import type { Mistake } from "../World.ts"

export const retentionForgotten: Mistake = (storage) => {
  const usual = ({ policy: { retention: _, ...policy }, ...rest }: TaskDefinition) =>
    new TaskDefinition({ ...rest, policy })
  return {
    ...storage,
    tasks: {
      ...storage.tasks,
      define: (definitions) => storage.tasks.define(definitions.map(usual)),
    },
    executors: {
      ...storage.executors,
      serve: (incarnation, definitions) =>
        storage.executors.serve(incarnation, definitions.map(usual)),
    },
  }
}
