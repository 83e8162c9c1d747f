package server

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// writeAfter answers a page of a list that is in order of time, the newest first, and of ids where times are the
// same. after is the time in milliseconds and the id of the last item of the page before: it holds the place even
// when that item is gone.
func writeAfter[T any](c *gin.Context, all []T, key func(T) (time.Time, string)) error {
	q := newQuery(c, "all", "after", "limit")
	limit := q.limit()
	after := q.values.Get("after")
	if after != "" {
		ms, id, ok := strings.Cut(after, "-")
		at, err := strconv.ParseInt(ms, 10, 64)
		if !ok || err != nil {
			q.err = &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "after=" + strconv.Quote(after) + " is no place in this list", Hint: "follow next, or leave after out to begin at the newest"}
		}
		begin := len(all)
		for i, one := range all {
			if t, name := key(one); t.UnixMilli() < at || t.UnixMilli() == at && name > id {
				begin = i
				break
			}
		}
		all = all[begin:]
	}
	if q.err != nil {
		return q.err
	}
	out := page[T]{Items: all}
	if len(all) > limit {
		out.Items = all[:limit]
		at, id := key(out.Items[limit-1])
		next := c.Request.URL.Query()
		next.Set("after", strconv.FormatInt(at.UnixMilli(), 10)+"-"+id)
		out.Next = c.Request.URL.Path + "?" + next.Encode()
		c.Header("Link", "<"+out.Next+`>; rel="next"`)
	}
	writeJSON(c, http.StatusOK, jsonType, out)
	return nil
}
