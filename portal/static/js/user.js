/* The page of a user: the durations of calls that run grow. */

import { keepTicking } from "./clock.js";

keepTicking();
