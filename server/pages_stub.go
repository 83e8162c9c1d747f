package server

import "github.com/gin-gonic/gin"

func (s *Server) pageRoutes(r *gin.Engine)             {}
func (s *Server) answerPage(c *gin.Context, err error) { s.answerProblem(c, err) }
