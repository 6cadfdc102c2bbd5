import { Layer } from "effect"
import * as EngineContract from "../../core/contract/EngineContract.ts"
import * as RoutingContract from "../../core/contract/RoutingContract.ts"
import * as Direct from "../direct/mod.ts"
import * as Sqlite from "./mod.ts"

EngineContract.suite("sqlite", Layer.provideMerge(Direct.layer, Sqlite.layer({ file: ":memory:" })))
RoutingContract.suite(
  "sqlite",
  Layer.provideMerge(Direct.layer, Sqlite.layer({ file: ":memory:" })),
)
