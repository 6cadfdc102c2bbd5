import { Layer } from "effect"
import * as InvariantsContract from "../../core/contract/InvariantsContract.ts"
import * as Direct from "../direct/mod.ts"
import { layer, setClock } from "./TestStorage.ts"

const base = Layer.provideMerge(Direct.layer, layer)

InvariantsContract.suite("postgres", base, { base: Layer.fresh(base), set: setClock })
