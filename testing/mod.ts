/** Tests of tasks and triggers in virtual time, without a database. */
export * as Conformity from "./Conformity.ts"
export { NotEnded } from "./NotEnded.ts"
export { startTesting, type StartTestingOptions, type TestBelfry } from "./startTesting.ts"
export { testConformity, type TestConformityOptions } from "./testConformity.ts"
export { Testing, type TestingOptions } from "./Testing.ts"
