import { TestClock } from "effect/testing"
import * as StorageContract from "../../core/contract/StorageContract.ts"
import * as Memory from "./mod.ts"

StorageContract.suite("memory", Memory.layer, TestClock.adjust)
