import { Layer } from "effect"
import * as EngineContract from "../../core/contract/EngineContract.ts"
import * as RoutingContract from "../../core/contract/RoutingContract.ts"
import * as Direct from "../direct/mod.ts"
import * as Memory from "./mod.ts"

EngineContract.suite("memory", Layer.provideMerge(Direct.layer, Memory.layer))
RoutingContract.suite("memory", Layer.provideMerge(Direct.layer, Memory.layer))
