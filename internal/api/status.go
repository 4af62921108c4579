package api

import (
	"fmt"
	"time"
)

// StatusText says in Docker's words what `bulsa ps` shows under STATUS. since is
// the time since the start of a worker that runs, and since the end of one that
// does not; 0 or less for a pending worker means that it never ran.
func StatusText(state, health string, exitCode int, since time.Duration) string {
	ago := humanDuration(since) + " ago"
	switch state {
	case "pending":
		if since <= 0 {
			return "Created"
		}
		return fmt.Sprintf("Exited (%d) %s", exitCode, ago)
	case "backoff":
		return fmt.Sprintf("Restarting (%d) %s", exitCode, ago)
	case "failed":
		return fmt.Sprintf("Failed (%d) %s", exitCode, ago)
	}
	return "Up " + humanDuration(since) + remark(state, health)
}

// remark is what stands in brackets behind "Up 3 minutes".
func remark(state, health string) string {
	switch {
	case state == "draining" || state == "stopping":
		return " (" + state + ")"
	case state == "unhealthy" || health == "unhealthy":
		return " (unhealthy)"
	case health == "starting":
		return " (health: starting)"
	case state == "starting":
		return " (starting)"
	case health == "healthy":
		return " (healthy)"
	}
	return ""
}

// humanDuration rounds as `docker ps` does.
func humanDuration(d time.Duration) string {
	const day, week, month, year = 24, 24 * 7, 24 * 30, 24 * 365
	seconds, minutes, hours := int(d.Seconds()), int(d.Minutes()), int(d.Hours()+0.5)
	switch {
	case seconds < 1:
		return "Less than a second"
	case seconds == 1:
		return "1 second"
	case seconds < 60:
		return fmt.Sprintf("%d seconds", seconds)
	case minutes == 1:
		return "About a minute"
	case minutes < 60:
		return fmt.Sprintf("%d minutes", minutes)
	case hours == 1:
		return "About an hour"
	case hours < 2*day:
		return fmt.Sprintf("%d hours", hours)
	case hours < 2*week:
		return fmt.Sprintf("%d days", hours/day)
	case hours < 2*month:
		return fmt.Sprintf("%d weeks", hours/week)
	case hours < 2*year:
		return fmt.Sprintf("%d months", hours/month)
	}
	return fmt.Sprintf("%d years", int(d.Hours())/year)
}
