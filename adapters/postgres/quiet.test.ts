import * as QuietContract from "../../core/contract/QuietContract.ts"
import { elapse, layer } from "./TestStorage.ts"

QuietContract.suite("postgres", layer, elapse, { runner: "live" })
