/** Planted: an executor whose call had no answer does not say again what it had to report. */
import type { Plant } from "../World.ts"

export const reportDropped: NonNullable<Plant["executor"]> = (transport) => ({
  ...transport,
  round: (request) => transport.round(request.isAgain ? { ...request, reports: [] } : request),
})
