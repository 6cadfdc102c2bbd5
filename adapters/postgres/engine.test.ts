import { Layer } from "effect"
import * as EngineContract from "../../core/contract/EngineContract.ts"
import * as RoutingContract from "../../core/contract/RoutingContract.ts"
import * as Direct from "../direct/mod.ts"
import { layer } from "./TestStorage.ts"

EngineContract.suite("postgres", Layer.provideMerge(Direct.layer, layer))
RoutingContract.suite("postgres", Layer.provideMerge(Direct.layer, layer))
