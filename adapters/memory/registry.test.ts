import { TestClock } from "effect/testing"
import * as RegistryContract from "../../core/contract/RegistryContract.ts"
import * as Memory from "./mod.ts"

RegistryContract.suite(
  "storage in memory",
  Memory.layer,
  RegistryContract.overStorage,
  TestClock.adjust,
)
