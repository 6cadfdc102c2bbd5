import { TestClock } from "effect/testing"
import * as RegistryContract from "../../core/contract/RegistryContract.ts"
import * as Sqlite from "./mod.ts"

RegistryContract.suite(
  "storage in sqlite",
  Sqlite.layer({ file: ":memory:" }),
  RegistryContract.overStorage,
  TestClock.adjust,
)
