/** Planted: each task of a group has all its places to itself. */
import type { Mistake } from "../World.ts"
import { GateKey } from "../../domain/Blocking.ts"

export const groupsApart: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    submit: (specs) =>
      storage.runs.submit(specs.map((spec) => {
        const { gate, task } = spec
        if (gate?.key.startsWith(":group ") !== true) return spec
        return { ...spec, gate: { ...gate, key: GateKey.make(`${gate.key} ${task}`) } }
      })),
  },
})
