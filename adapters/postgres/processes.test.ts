import { Layer } from "effect"
import * as ProcessesContract from "../../core/contract/ProcessesContract.ts"
import * as Direct from "../direct/mod.ts"
import { another, base, elapse } from "./TestStorage.ts"

ProcessesContract.suite("postgres", base, Layer.provideMerge(Direct.layer, another()), elapse)
