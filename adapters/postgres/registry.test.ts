import * as RegistryContract from "../../core/contract/RegistryContract.ts"
import { elapse, layer } from "./TestStorage.ts"

RegistryContract.suite("storage in postgres", layer, RegistryContract.overStorage, elapse, {
  runner: "live",
})
