import { Layer } from "effect"
import * as InvariantsContract from "../../core/contract/InvariantsContract.ts"
import { movableClock } from "../../core/contract/world.ts"
import * as Direct from "../direct/mod.ts"
import * as Sqlite from "./mod.ts"

const clock = movableClock()
const base = Layer.provideMerge(Direct.layer, Sqlite.layer({ file: ":memory:" }))

InvariantsContract.suite("sqlite", base, {
  base: Layer.provide(Layer.fresh(base), clock.layer),
  set: clock.set,
})
