import { TestClock } from "effect/testing"
import * as RunStorageContract from "../../core/contract/RunStorageContract.ts"
import * as Memory from "./mod.ts"

RunStorageContract.suite("memory", Memory.layer, TestClock.adjust)
