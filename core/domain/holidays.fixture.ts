/**
 * The days off of the People's Republic of China and the workdays that make up for them, as the
 * General Office of the State Council announced them in October 2023 and November 2024.
 */
const days = (from: string, count: number): ReadonlyArray<string> =>
  Array.from(
    { length: count },
    (_, n) => new Date(Date.parse(from) + n * 86_400_000).toISOString().slice(0, 10),
  )

export const china2024 = {
  holidays: [
    "2024-01-01", // New Year
    ...days("2024-02-10", 8), // Spring Festival
    ...days("2024-04-04", 3), // Qingming
    ...days("2024-05-01", 5), // Labour Day
    "2024-06-10", // Dragon Boat
    ...days("2024-09-15", 3), // Mid-Autumn
    ...days("2024-10-01", 7), // National Day
  ],
  workdays: [
    "2024-02-04",
    "2024-02-18",
    "2024-04-07",
    "2024-04-28",
    "2024-05-11",
    "2024-09-14",
    "2024-09-29",
    "2024-10-12",
  ],
}

export const china2025 = {
  holidays: [
    "2025-01-01", // New Year
    ...days("2025-01-28", 8), // Spring Festival
    ...days("2025-04-04", 3), // Qingming
    ...days("2025-05-01", 5), // Labour Day
    ...days("2025-05-31", 3), // Dragon Boat
    ...days("2025-10-01", 8), // National Day and Mid-Autumn
  ],
  workdays: ["2025-01-26", "2025-02-08", "2025-04-27", "2025-09-28", "2025-10-11"],
}
