// Package picture keeps pictures of pages small, and says how far two of them differ. Only tests import it.
package picture

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"slices"
)

const (
	// Colours is the size of a palette. Pages have a few colours and the steps of their letters' edges between them.
	Colours = 64
	// Near is how far a colour may be from another, per channel of 8 bits, and count as the same. It is more than what
	// another choice of palette changes, and less than what anybody sees.
	Near = 24
)

// Reduce returns the picture with a palette: its most frequent colours, and each other one as the nearest of them.
// The same picture always gives the same.
func Reduce(from image.Image) *image.Paletted {
	bounds := from.Bounds()
	counts := map[color.RGBA]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[rgba(from.At(x, y))]++
		}
	}
	chosen := choose(counts)
	to := image.NewPaletted(bounds, chosen)
	nearest := map[color.RGBA]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := rgba(from.At(x, y))
			i, known := nearest[c]
			if !known {
				i = uint8(chosen.Index(c))
				nearest[c] = i
			}
			to.SetColorIndex(x, y, i)
		}
	}
	return to
}

// choose takes the colours that are there most: first some of every kind, so that a rare mark keeps its own, then the
// steps between them.
func choose(counts map[color.RGBA]int) color.Palette {
	all := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var chosen color.Palette
	for _, distance := range []int{32, 8, 0} {
		for _, c := range all {
			if len(chosen) == Colours {
				break
			}
			if !slices.ContainsFunc(chosen, func(other color.Color) bool { return far(c, rgba(other)) <= distance }) {
				chosen = append(chosen, c)
			}
		}
	}
	return chosen
}

func rgba(c color.Color) color.RGBA {
	r, g, b, _ := c.RGBA() // 16 bits each; pages are opaque
	return color.RGBA{R: uint8(r >> 8), G: uint8(g >> 8), B: uint8(b >> 8), A: 255}
}

// far is by how much the channel that differs most differs.
func far(a, b color.RGBA) int {
	return max(apart(a.R, b.R), apart(a.G, b.G), apart(a.B, b.B))
}

func apart(a, b uint8) int { return max(int(a)-int(b), int(b)-int(a)) }

// Encode returns the picture as a PNG file, as small as the format makes it.
func Encode(picture image.Image) ([]byte, error) {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, picture); err != nil {
		return nil, fmt.Errorf("encode a picture: %w", err)
	}
	return b.Bytes(), nil
}

// Compare returns the share of pixels that differ, and a picture of the later one, faint, with those in red. What only
// one of them has, for it is larger, differs.
func Compare(before, after image.Image) (share float64, differs image.Image) {
	size := before.Bounds().Union(after.Bounds())
	shown := image.NewRGBA(size)
	n := 0
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			at, was, is := image.Pt(x, y), rgba(before.At(x, y)), rgba(after.At(x, y))
			if !at.In(before.Bounds()) || !at.In(after.Bounds()) || far(was, is) > Near {
				n++
				shown.SetRGBA(x, y, color.RGBA{R: 220, A: 255})
				continue
			}
			shown.SetRGBA(x, y, color.RGBA{R: faint(is.R), G: faint(is.G), B: faint(is.B), A: 255})
		}
	}
	if all := size.Dx() * size.Dy(); all > 0 {
		share = float64(n) / float64(all)
	}
	return share, shown
}

// faint is a quarter of the way from white.
func faint(channel uint8) uint8 { return 192 + channel/4 }
